"""The clock and the sampling, on a pretend machine whose time is exactly known."""

import gc
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from benchmarks import clock as clocks
from benchmarks.clock import (
    Clock,
    ClockError,
    WarmUp,
    clock_for,
    launch_overhead,
    shortest_sample,
    time_block,
    time_hot_block,
    timer_overhead,
    waits_for_device,
    warm_up,
)
from benchmarks.reliability import Samples, ratio_interval
from benchmarks.sampling import EFFORTS, Effort, Meter, due, time_rounds

READING = 50  # nanoseconds that one reading of the pretend clock takes
US = 1_000  # nanoseconds
MS = 1_000_000


class Machine:
    """A pretend computer. Work advances its time, on a device it goes on in the background."""

    def __init__(self, reading=READING):
        self.time, self.busy_until, self.shown, self.reading = 0, 0, 0, reading

    def now(self):
        self.time += self.reading
        return self.time + self.shown

    def wait(self):
        self.time = max(self.time, self.busy_until)

    def idle(self):
        return self.time >= self.busy_until

    def works(self, nanoseconds):
        """A step that takes as long as `nanoseconds()` says, on the host."""

        def step():
            self.time += int(nanoseconds())

        return step

    def launches(self, nanoseconds, launch=5 * US):
        """A step that the host starts and the device finishes later."""

        def step():
            self.time += launch
            self.busy_until = max(self.busy_until, self.time) + nanoseconds

        return step

    def clock(self, kind="cpu"):
        return Clock(kind=kind, now=self.now, wait=self.wait, idle=self.idle)


def always(value):
    return lambda: value


def test_a_block_is_the_time_of_its_iterations():
    machine = Machine()
    block = time_block(machine.clock(), machine.works(always(30 * US)), 10)
    assert block.nanoseconds == 300 * US + READING
    assert block.is_sound


def test_a_block_waits_for_the_device_at_both_ends():
    """What ran before does not count, what was launched in the block does, to its end."""
    machine = Machine()
    machine.busy_until = 10 * MS
    step = machine.launches(200 * US)
    block = time_block(machine.clock("accelerator"), step, 10)
    assert block.nanoseconds == pytest.approx(10 * 200 * US, rel=0.01)
    assert block.is_sound


def test_a_workload_that_is_not_waited_for_is_caught():
    """Ten launches of 200 us would pass for 50 us; the block says that it is not sound."""
    machine = Machine()
    careless = replace(machine.clock("accelerator"), wait=lambda: None)
    block = time_block(careless, machine.launches(200 * US), 10)
    assert block.nanoseconds < 0.05 * 10 * 200 * US
    assert block.in_flight
    assert not block.is_sound
    with pytest.raises(ClockError, match="does not wait for"):
        warm_up(careless, machine.launches(200 * US), 1e-4)


def test_a_clock_that_stands_still_is_refused():
    with pytest.raises(ClockError, match="does not advance"):
        warm_up(Clock(now=lambda: 7), lambda: None, 1e-3)


def test_a_clock_that_jumps_back_costs_one_reading():
    """The negative difference is discarded and counted; the others are what they were."""
    machine = Machine()
    meter = Meter(machine.works(always(100 * US)), WarmUp(10, 10, 1, 0))

    for k in range(40):
        if k == 17:
            jumping = replace(machine.clock(), now=iter([5 * MS, 2 * MS]).__next__)
        block = time_block(jumping if k == 17 else machine.clock(), meter.step, 10)
        meter.add(k, 0, block)

    assert meter.backwards == 1
    assert [sample.round for sample in meter.samples] == [k for k in range(40) if k != 17]
    assert all(s.seconds == pytest.approx(1e-3, rel=1e-3) for s in meter.samples)


def test_a_meter_whose_readings_are_mostly_unsound_is_given_up():
    machine = Machine()
    still = Clock(now=lambda: 7)
    meter = Meter(machine.works(always(US)), WarmUp(1, 1, 1, 0), is_base=True)
    time_rounds(
        [meter], still, EFFORTS["full"], rng=np.random.default_rng(0), has_time=always(True)
    )
    assert meter.is_given_up
    assert not meter.samples


def test_the_garbage_collector_is_off_in_a_block_and_on_after_it():
    seen = []
    assert gc.isenabled()
    time_block(Clock(), lambda: seen.append(gc.isenabled()), 1)
    assert seen == [False]
    assert gc.isenabled()


def test_the_garbage_collector_is_on_again_after_a_step_that_fails():
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        time_block(Clock(), fail, 1)
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        time_block(Clock(), lambda: None, 1)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_timer_overhead_is_that_of_one_reading():
    assert timer_overhead(Machine().clock()) == pytest.approx(READING * 1e-9)


def test_timer_overhead_survives_a_clock_that_jumps():
    readings = iter([*range(0, 5000, 50), *range(0, 50_000, 50)])
    assert timer_overhead(Clock(now=readings.__next__)) == pytest.approx(50e-9)


@pytest.mark.parametrize(
    ("kind", "overhead", "wanted", "seconds"),
    [
        ("cpu", 10e-9, 0, 1e-3),
        ("accelerator", 5e-9, 0, 1e-4),
        ("cpu", 1e-6, 0, 1e-2),
        ("cpu", 10e-9, 3e-3, 3e-3),
    ],
    ids=["1 ms on a CPU", "100 us on a GPU", "10,000 overheads", "longer if asked"],
)
def test_a_sample_is_long_next_to_the_timer(kind, overhead, wanted, seconds):
    shortest = shortest_sample(Clock(kind=kind), overhead, wanted)
    assert shortest == pytest.approx(seconds)


@pytest.mark.parametrize("step", [300, 30 * US, 3 * MS, 400 * MS], ids="{} ns".format)
@pytest.mark.parametrize("kind", ["cpu", "accelerator"])
def test_warm_up_is_long_enough_and_makes_samples_long_enough(kind, step):
    """At least 10 iterations and 50 ms (25 ms on a GPU); then samples of at least 1 ms."""
    machine = Machine()
    start = machine.time
    warm = warm_up(machine.clock(kind), machine.works(always(step)), 1e-3)

    least = {"cpu": 0.05, "accelerator": 0.025}[kind]
    assert warm.total >= 10
    assert warm.seconds >= least
    assert (machine.time - start) * 1e-9 >= least
    assert warm.iterations * step >= 1 * MS
    assert warm.iterations == 1 or warm.iterations * step <= 1.5 * MS
    assert warm.is_steady(kind)


def test_the_inner_loop_is_chosen_after_the_first_slow_calls():
    """Allocation and autotuning make the first calls slow; they must not shorten samples."""
    machine = Machine()
    times = iter([20 * MS, 5 * MS, 2 * MS])
    warm = warm_up(machine.clock(), machine.works(lambda: next(times, 20 * US)), 1e-3)
    assert warm.iterations * 20 * US >= 1 * MS


def test_a_warm_up_that_still_changes_is_not_steady():
    machine = Machine()
    slower = iter(range(100 * US, 10_000 * US, 20 * US))
    assert not warm_up(machine.clock(), machine.works(slower.__next__), 1e-3).is_steady("cpu")


def test_a_gpu_has_to_be_steadier_than_a_cpu():
    warm = WarmUp(1, 10, 1, spread=0.03)
    assert warm.is_steady("cpu")
    assert not warm.is_steady("accelerator")


@dataclass
class PretendEvent:
    """A mark in the stream of a pretend device, as `torch.cuda.Event`."""

    machine: Machine
    at: int = 0

    def record(self):
        self.at = max(self.machine.time, self.machine.busy_until)

    def elapsed_time(self, end):
        return (end.at - self.at) / 1e6


def test_events_time_the_device_beside_the_wall():
    machine = Machine()
    clock = replace(machine.clock("accelerator"), event=lambda: PretendEvent(machine))
    block = time_block(clock, machine.launches(200 * US), 10)
    assert block.device_seconds == pytest.approx(10 * 200e-6, rel=0.01)
    assert block.device_seconds == pytest.approx(block.seconds, rel=0.01)


def test_launch_overhead_is_the_time_of_one_small_kernel():
    """Here the host does the adding itself, in between 0.1 us and 1 ms."""
    assert 1e-7 < launch_overhead(clock_for("cpu"), "cpu", launches=200) < 1e-3


def test_a_clock_that_jumps_back_leaves_the_launch_overhead_as_it_is():
    """Of four blocks the first warms up, one goes backwards, and the shorter of two counts."""
    readings = iter([0, 9 * MS, 0, -5 * MS, 0, 3 * MS, 0, 2 * MS])
    clock = Clock(now=readings.__next__)
    assert launch_overhead(clock, "cpu", launches=200) == pytest.approx(2e-3 / 200)
    assert launch_overhead(Clock(now=lambda: 7), "cpu", launches=2) is None


def test_the_real_clock_reads_real_seconds():
    """A sleep is never shorter than it is asked to be, however busy the machine."""
    start = time.monotonic()
    block = time_block(clock_for("cpu"), lambda: time.sleep(0.005), 2)
    around = time.monotonic() - start
    assert 0.010 <= block.seconds <= around
    assert block.is_sound


def test_a_cpu_step_is_never_said_to_wait_for_a_device():
    assert not waits_for_device("cpu", lambda: torch.zeros(1).item())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_gpu_is_waited_for_and_caught_when_it_is_not():
    x = torch.randn(4096, 4096, device="cuda")
    waited = [time_block(clock_for("cuda"), lambda: x @ x, 20) for _ in range(3)][-1]
    assert waited.is_sound
    assert waited.device_seconds == pytest.approx(waited.seconds, rel=0.2)
    assert time_block(clock_for("cpu"), lambda: x @ x, 20).in_flight
    torch.cuda.synchronize()
    assert waits_for_device("cuda", x[0, 0].item)


# Rounds


def meter_of(machine, nanoseconds, **settings):
    step = machine.works(nanoseconds)
    return Meter(step, warm_up(machine.clock(), step, 1e-3), 1e-3, **settings)


def run_rounds(meters, machine, effort, *, seed=0, until=np.inf):
    time_rounds(
        meters,
        machine.clock(),
        effort,
        rng=np.random.default_rng(seed),
        has_time=lambda: machine.time * 1e-9 < until,
    )


ROUGH = Effort(budget=1e9, cap=0.3, processes=1, sample=1e-3, target=0)


def test_every_round_samples_every_open_workload_once_in_a_new_order():
    machine = Machine()
    meters = [meter_of(machine, always(100 * US)) for _ in range(6)]
    run_rounds(meters, machine, ROUGH)

    rounds = [sample.round for sample in meters[0].samples]
    assert rounds == list(range(len(rounds)))
    orders = [tuple(meter.samples[r].order for meter in meters) for r in rounds]
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert len(set(orders)) > len(orders) / 2


def test_the_order_is_that_of_the_generator():
    def orders(seed):
        machine = Machine()
        meters = [meter_of(machine, always(100 * US)) for _ in range(6)]
        run_rounds(meters, machine, ROUGH, seed=seed)
        return [[sample.order for sample in meter.samples] for meter in meters]

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)


def test_sampling_stops_once_the_median_is_known():
    """With 0.5% of noise the least number of samples and seconds is enough, not the cap."""
    machine, rng = Machine(), np.random.default_rng(1)
    meter = meter_of(machine, lambda: 100 * US * (1 + 0.005 * rng.standard_normal()))
    run_rounds([meter], machine, replace(EFFORTS["full"], processes=1))
    spent = sum(sample.seconds for sample in meter.samples)
    assert len(meter.samples) >= 30
    assert 0.15 <= spent < 0.155


def test_sampling_of_a_noisy_workload_goes_on_to_its_cap():
    machine = Machine()
    rng = np.random.default_rng(1)
    meter = meter_of(machine, lambda: 100 * US * rng.exponential())
    run_rounds([meter], machine, replace(ROUGH, target=1e-4, processes=3))
    assert sum(sample.seconds for sample in meter.samples) == pytest.approx(0.1, rel=0.1)


def test_a_workload_that_stutters_does_not_take_the_time_of_the_others():
    """Samples of 60 ms: 30 of them would be six caps; 15 are three."""
    machine = Machine()
    meter = Meter(machine.works(always(60 * MS)), WarmUp(1, 10, 1, 0))
    run_rounds([meter], machine, replace(ROUGH, cap=0.3))
    assert len(meter.samples) == 15


def test_sampling_stops_when_time_is_up():
    machine = Machine()
    meter = meter_of(machine, always(100 * US))
    until = machine.time * 1e-9 + 0.02
    run_rounds([meter], machine, ROUGH, until=until)
    assert machine.time * 1e-9 < until + 0.003


@pytest.mark.parametrize(("iterations", "untimed"), [(1, 2), (10, 3), (90, 30)])
def test_a_third_of_a_sample_is_run_before_it_untimed(iterations, untimed):
    """The first calls after another workload find cold caches; they are not in the sample."""
    machine = Machine()
    calls = []

    def step():
        machine.time += 900 * US if len(calls) < untimed else 100 * US
        calls.append(1)

    block = time_hot_block(machine.clock(), step, iterations)
    assert len(calls) == untimed + iterations
    assert block.seconds / iterations == pytest.approx(100e-6, rel=1e-3)


def test_samples_in_rounds_are_hot():
    machine = Machine()
    recent = []

    def step_of(name):
        def step():
            machine.time += 100 * US if recent[-3:] == [name] * 3 else 900 * US
            recent.append(name)

        return step

    meters = [Meter(step_of(name), WarmUp(10, 10, 1, 0)) for name in "ab"]
    run_rounds(meters, machine, ROUGH)
    each = [s.seconds / s.iterations for meter in meters for s in meter.samples]
    assert max(each) == pytest.approx(100e-6, rel=1e-3)


def test_samples_that_turn_out_too_short_are_made_longer():
    """A warm-up in a slow moment chooses too few iterations; the samples find out."""
    machine = Machine()
    meter = Meter(machine.works(always(10 * US)), WarmUp(20, 20, 1, 0), shortest=1e-3)
    run_rounds([meter], machine, ROUGH)
    assert [s.iterations for s in meter.samples[:2]] == [20, 120]
    assert all(s.seconds >= 1e-3 for s in meter.samples[1:])


def test_a_base_is_sampled_for_as_long_as_anything_is_compared_with_it():
    machine = Machine()
    rng = np.random.default_rng(1)
    base = meter_of(machine, always(100 * US), group="spiral", is_base=True)
    other = meter_of(machine, always(100 * US), group="wave", is_base=True)
    noisy = meter_of(machine, lambda: 100 * US * rng.exponential(), group="spiral")
    run_rounds([base, other, noisy], machine, replace(ROUGH, target=0.001))
    assert {s.round for s in noisy.samples} <= {s.round for s in base.samples}
    assert len(other.samples) < len(base.samples)
    assert not due([base, other, noisy], ROUGH)


def test_a_base_that_is_given_up_is_not_sampled_for_the_others_of_its_group():
    machine = Machine()
    base = meter_of(machine, always(100 * US), group="spiral", is_base=True)
    other = meter_of(machine, always(100 * US), group="spiral")
    assert due([base, other], ROUGH) == [base, other]
    base.backwards = 31
    assert base.is_given_up
    assert due([base, other], ROUGH) == [other]


# T20: the harness tests itself


def simulated_pair(slowdown, seed, *, rounds=30, noise=0.03):
    """Two workloads timed by the harness, with noise, a common drift and spikes."""
    machine = Machine()
    rng = np.random.default_rng([seed, 20])

    def cost(scale):
        def nanoseconds():
            drift = 1 + 0.1 * machine.time * 1e-9
            spike = 5 if rng.random() < 0.02 else 1
            return MS * scale * drift * spike * np.exp(noise * rng.standard_normal())

        return nanoseconds

    warm = WarmUp(iterations=1, total=10, seconds=0.1, spread=0)
    meters = [Meter(machine.works(cost(scale)), warm) for scale in (1, slowdown)]
    effort = Effort(budget=1e9, cap=rounds * 1e-3, processes=1, sample=1e-3, target=0)
    run_rounds(meters, machine, effort, seed=seed)
    both = [
        Samples(
            np.zeros(rounds, dtype=np.int64),
            np.arange(rounds),
            *[np.array([s.seconds for s in meter.samples[:rounds]])] * 2,
        )
        for meter in meters
    ]
    return ratio_interval(both[1], both[0])


def test_the_same_workload_twice_seldom_differs():
    """At most 5% false alarms, by an interval that excludes 1, over 400 A/A comparisons."""
    intervals = [simulated_pair(1.0, seed) for seed in range(400)]
    alarms = sum(i.low > 1 or i.high < 1 for i in intervals)
    assert alarms <= 0.05 * 400
    assert alarms > 0  # an interval that never errs is too wide
    assert all(i.n == 30 for i in intervals)


def test_a_workload_that_is_a_fifth_slower_is_found():
    intervals = [simulated_pair(1.2, seed) for seed in range(200)]
    assert sum(i.low > 1.05 for i in intervals) >= 0.95 * 200
    assert np.median([i.value for i in intervals]) == pytest.approx(1.2, abs=0.01)


def test_margins_and_minima_are_those_of_the_methods():
    assert clocks.OVERHEADS == 10_000
    assert clocks.SHORTEST == {"cpu": 1e-3, "accelerator": 1e-4}
    caps = {name: (e.budget, e.cap, e.processes) for name, e in EFFORTS.items()}
    assert caps == {"quick": (20, 0.3, 1), "standard": (150, 1, 3), "full": (900, 15, 3)}
