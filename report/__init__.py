"""Tables become estimates, figures and sentences; nothing here trains or times anything.

The report reads a results folder (CSV files and `study.json`) and needs no torch.

Contents, in the order in which a number travels:

    schema              what a results folder holds: columns, and what study.json must say
    files               CSV and JSON files, each read whole and checked
    tables              a results folder, read and checked
    frames              frames as plain rows

    estimates           arrays in, estimates out: intervals, tests, effect sizes
    power               what a number of seeds can find
    resampling          sign flips and bootstrap
    variation           analysis of variance of a balanced grid
    grids               the final trials of one task as an array of cells by seeds
    effects             what each cell did: means and contrasts against the baseline
    factors             what each factor did: main effects, interactions, shares of variance
    curves              learning rates and learning curves
    cells, comparisons  cells as claims name them, and what a claim compares
    claims              sentences on trial: a verdict, and the numbers behind it
    published           known results: published, measured, within tolerance or not
    throughput          relative times, paired by round

    numbers             units, signs, and the digits that intervals support
    prose               sentences that claim no more than their intervals allow
    escaping            text from files made inert
    palette, drawing    colours for light and dark pages; a figure as SVG and PNG
    figures, factorial, sensitivity, walls    plots: an `Axes` and a tidy frame each

    views               one study on one task as a reader sees it
    evidence, crossed_figures, wall_pictures  plots with titles, captions and words
    study_section, crossed_section, claims_section, published_section, throughput_section
                        sections: sentences, tables and figures of one thing each
    methods             how the numbers were made, and from what
    document            the report as plain data
    contents            the whole report from a results folder
    markdown, page      the report as Markdown and as one HTML page
    exports             claims.csv and effects.csv beside the report
"""
