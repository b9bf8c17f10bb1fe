"""How large a paired difference is beside its spread, and what the pairing bought.

Arrays are as in `estimates`: seeds on the last axis, NaN for a trial without a response.
"""

import numpy as np
from scipy import special

from report.estimates import ROUNDING, Floats, differences, moments


def cohen_dz(treated: Floats, control: Floats) -> Floats:
    """Mean difference over the standard deviation of the differences; NaN without spread."""
    _, mean, deviation = moments(differences(treated, control))
    return _ratio(mean, deviation)


def hedges_g(treated: Floats, control: Floats) -> Floats:
    """Difference in pooled standard deviations of the two arms, corrected for small n.

    The correction is Hedges' exact one (1981), with 2n - 2 degrees of freedom.
    """
    treated, control = _on_common_seeds(treated, control)
    n, mean_treated, deviation_treated = moments(treated)
    _, mean_control, deviation_control = moments(control)
    with np.errstate(all="ignore"):
        pooled = np.sqrt((deviation_treated**2 + deviation_control**2) / 2)
        freedom = 2.0 * n - 2
        correction = np.exp(special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2))
        return _ratio((mean_treated - mean_control) * correction, pooled * np.sqrt(freedom / 2))


def pairing_correlation(treated: Floats, control: Floats) -> Floats:
    """Pearson correlation of the two arms over seeds: what the pairing bought; NaN below three."""
    treated, control = _on_common_seeds(treated, control)
    n, mean_treated, deviation_treated = moments(treated)
    _, mean_control, deviation_control = moments(control)
    with np.errstate(all="ignore"):
        products = (treated - mean_treated[..., None]) * (control - mean_control[..., None])
        covariance = np.nansum(products, axis=-1) / (n - 1)
        correlation = covariance / deviation_treated / deviation_control
    spread = (deviation_treated > ROUNDING * np.abs(mean_treated)) & (
        deviation_control > ROUNDING * np.abs(mean_control)
    )
    return np.where((n >= 3) & spread, np.clip(correlation, -1, 1), np.nan)[()]


def _on_common_seeds(treated: Floats, control: Floats) -> tuple[Floats, Floats]:
    treated, control = np.asarray(treated, float), np.asarray(control, float)
    both = ~(np.isnan(treated) | np.isnan(control))
    return np.where(both, treated, np.nan), np.where(both, control, np.nan)


def _ratio(value: Floats, spread: Floats) -> Floats:
    with np.errstate(all="ignore"):
        return np.where(spread > 0, value / spread, np.nan)[()]
