"""Tables become estimates, figures and sentences; nothing here trains or times anything.

The report reads a results folder and needs no torch: every number comes from CSV files and
`study.json`, and only why a trial failed from the records.

Contents, in the order in which a number travels:

    schema              what a results folder holds: columns, and what study.json must say
    files               CSV and JSON files, each read whole and checked
    reasons             why trials failed, as the records tell
    tables              a results folder, read and checked
    decomposition       bias and variance of fitted functions, from the probes of all seeds
    frames              frames as plain rows

    estimates           arrays in, estimates out: intervals, tests, shares, medians
    sequential          seeds that were added until all was resolved: the level of the look
    effect_sizes        how large a difference is beside its spread
    power               what a number of seeds can find
    resampling          sign flips and bootstrap
    variation           analysis of variance of a balanced grid
    grids               the final trials of one task as an array of cells by seeds
    effects             what each cell did: means and contrasts against the baseline
    pairs               every pair of cells, exploratory, at a false-discovery rate
    factors             what each factor did: main effects, interactions, shares of variance
    curves              learning rates and learning curves: areas, steps to a target, gaps
    tuning              what tuning bought, and optimizers worse than what they contain
    ranks, profiles     ranks over tasks and their agreement; shares of trials, scores and races
    cells, comparisons  cells as claims name them, and what a claim compares
    verdicts, claims    sentences on trial: a verdict, and the numbers behind it
    plain_levels        levels of factors in words that can be read aloud
    claim_words         what is said of a claim, and what would have contradicted it
    timing_claims       claims about cost, by the ratio of seconds of two levels
    orders              the order of a study's cells, and which neighbours can be told apart
    published           known results: published, measured, within tolerance or not
    throughput          relative times, paired by round
    devices             examples per second, and from where on an accelerator is faster
    scaling             seconds against minibatch, width and depth, and where that saturates
    bargains            scores joined with seconds: what no cell beats at both, time to a target
    across              one study over all its tasks: normalised, pooled, ranked, raced
    coverage            how far a study has come: how many trials of each cell ended how
    against, time_ratios    two results folders: set-up, scores paired by seed, times
    speedups            stacks against other ways of training, and shares of the machine's rates

    numbers             units, signs, and the digits that intervals support
    prose               sentences that claim no more than their intervals allow
    rankings, headlines who leads on a task, in a sentence and at the top of the report
    time_words          seconds, and ratios of seconds, as text
    escaping            text from files made inert
    anchors             names for files and for what links point at
    sequential_words    what a study with sequential seeds has paid for looking early
    palette, axes, drawing    colours for light and dark pages; a figure as SVG and PNG
    tiles               pictures of pictures.csv, decoded and checked
    interactive         what the interactive parts share: names, thinning, packed numbers
    charts, playground  the data of what can be explored, and of the walls of pictures
    forests, learning, heat_maps, factorial, sensitivity, walls, time_plots, across_plots,
    coverage_map        plots: an `Axes` and a tidy frame each

    views               one study on one task as a reader sees it
    leads               who leads on one task
    contrast_pictures, training_pictures, grid_pictures, crossed_figures, wall_pictures
                        plots with titles, captions and words
    cell_tables         every cell with its mean, every contrast with its tests
    factor_tables, learning_tables
                        what factors did, and how cells learned, in numbers
    cautions, failures  what must be known before numbers are believed; what did not end
    coverage_section    what is not finished, as a map and in numbers
    study_findings      what a study offers to the findings
    across_section, tuning_section
                        what all tasks of a study say together; what tuning bought
    study_section, crossed_section, claims_section, published_section, throughput_section
                        sections: sentences, tables and figures of one thing each
    devices_section, scaling_section, input_section, bargain_section, speedup_section, timing_notes
                        what the section on time consists of
    networks            the networks of the baselines, layer by layer
    methods             how the numbers were made, and from what
    document            the report as plain data
    shifts              parts of a report made by several processes
    contents            the whole report from a results folder
    vectors, scripts    drawings made smaller for the page; its scripts and their policy
    markdown, page      the report as Markdown and as one HTML page
    summary             the report in sixty lines
    against_studies, against_times, against_section
                        two results folders side by side, as a report of its own
    index               every results folder below one folder
    latex, copies       tables as LaTeX; every figure and table as files of their own
    claim_marks, claim_pictures
                        small drawings written as SVG: one picture for each claim
    exports             claims.csv, effects.csv and times.csv beside the report (times: the last)
"""
