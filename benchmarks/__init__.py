"""How fast it is, with the accelerator waited for.

Contents, in the order in which the data flows:

    workloads    studies -> named computations on plain modules, in order of importance
    clock        the one way to time: wait, read, iterate, wait, read
    sampling     workloads interleaved over rounds, until each median is known well enough
    reliability  intervals of medians and ratios, and the flags that samples earn
    timings      fresh processes, timings.csv and timings.json, resume
    bench_*      pytest-benchmark suites (`make bench`)
"""
