"""A grid of two factors as coloured boxes with their values."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex
from matplotlib.patches import Rectangle

from report.axes import FAINT, short
from report.frames import records
from report.palette import PAPER

BLUES: Colormap = LinearSegmentedColormap.from_list(
    "report-blues", ["#f3f7fa", "#b5d3e7", "#5a9cc9", "#1f6ba5", "#0a3d6b"]
)


def plot_heat_map(ax: Axes, cells: pd.DataFrame, *, row: str, column: str) -> None:
    """A grid of two factors with the value in every cell; a row of one network is one box.

    Args:
        cells: columns `row`, `column` (levels as text), `value`, `text`, `span`: how many columns
            this one network covers, usually 1; the other columns of a span are absent; and,
            where some are drawn faint because trials are lacking, `partial`.
        row, column: names of the two factors.
    """
    rows, columns = list(dict.fromkeys(cells["row"])), list(dict.fromkeys(cells["column"]))
    own = cells.loc[cells["span"] == 1, "value"]  # one box of all columns would flatten the rest
    low, high = own.min(), own.max()
    for cell in records(cells):
        share = min(max((cell["value"] - low) / (high - low), 0.0), 1.0) if high > low else 0.5
        x, y = columns.index(cell["column"]), rows.index(cell["row"])
        colour = to_hex(BLUES(0.05 + 0.9 * share)) if np.isfinite(share) else "#eeeeee"
        faint = bool(cell.get("partial"))
        ax.add_patch(
            Rectangle(
                (x, y),
                cell["span"],
                1,
                facecolor=colour,
                edgecolor=PAPER,
                lw=2,
                alpha=FAINT if faint else 1,
            )
        )
        ink = "#fefefe" if np.isfinite(share) and share > 0.55 and not faint else "#1b1e22"
        ax.text(
            x + cell["span"] / 2,
            y + 0.5,
            cell["text"],
            ha="center",
            va="center",
            color=ink,
            fontsize=8.5,
        )
    ax.set_xlim(0, len(columns))
    ax.set_ylim(0, len(rows))
    ax.set_xticks(np.arange(len(columns)) + 0.5, [short(level) for level in columns])
    ax.set_yticks(np.arange(len(rows)) + 0.5, [short(level) for level in rows])
    ax.set_xlabel(column)
    ax.set_ylabel(row)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[["left", "bottom"]].set_visible(False)
