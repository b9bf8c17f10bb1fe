"""How fast it is, with the accelerator waited for.

Contents, in the order in which the data flow:

    catalogue    studies -> workloads, the most important first
    workloads    the data: a named computation, and the plan of what is timed
    steps        what a workload computes; ways: how else it can be run; epochs: its data
    budgeting    which workloads fit (predictions: how long a call takes, roughly)
    clock        the one way to time: wait, read, iterate, wait, read
    sampling     workloads interleaved over rounds, until each median is known well enough
    passes       a fresh process that times every workload (fresh: its start and its pipe)
    timings      what is missing is timed (timing_files: timings.csv and timings.json)
    reliability  intervals of medians and ratios, and the flags that samples earn
    neighbours, throttling, memory, surroundings   what else is noted of the machine

    compare      two commits against each other: trees -> sides (driver: the child) -> gate
    speedup      stacks against what one would otherwise do (peers)
    layouts      how stacks are cut and processes set up, against other ways
    bench_*      pytest-benchmark suites (`make bench`)
"""
