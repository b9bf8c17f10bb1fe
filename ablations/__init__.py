"""A grid of factors becomes a table of trials.

Contents, in the order in which the data flows:

    levels          names of factors, their levels and settings, and of tasks
    design          study file -> cells -> trials
    looks           sequential seeds: when a study is resolved, and what looking early costs
    sizes           how many examples a task has, and which cells do not fit them
    streams         every random number comes from a named stream
    tasks           data as tensors on the device
    layers          layers that hold M trials, beside their plain `nn.Module`
    sources, foreign   networks of one's own: any `nn.Module`
    network         a cell's network: one description, two forms
    losses          what is minimised, what is reported
    optimizers      update rules with one hyperparameter per trial
    regularisation  penalties, noise, augmentation and schedules
    stacking        trials of equal shape, grouped
    layout          blocks of trials, parts of examples
    state, minibatches   a stack while it is trained, the examples of its steps
    compiled, kernels, elementary   steps of plain networks on a CPU, compiled
    compaction      a stack without the trials that have ended
    evaluation, history   what evaluations show, trial by trial
    outcome, training   what a stack leaves behind; one stack, trained to the end
    blocks          blocks of seeds that grow
    records         sealed records, and the CSV files collected from them
    workers         processes that train, supervised
    running         which stacks are missing, who trains them, progress, resume
    standing        what failed and why, and what waits for it
    costs, planning how long it will take
    power, pilots, resolution   what so many seeds can resolve
    provenance      commit, versions, machine
"""
