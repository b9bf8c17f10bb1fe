"""Tables become estimates, figures and sentences; nothing here trains or times anything.

The report reads a results folder (CSV files and `study.json`) and needs no torch.

Contents:
    tables      a results folder, read and checked
    estimates   arrays in, estimates out: intervals, tests, effect sizes, analysis of variance
    effects     one study and one task in, tidy frames of what each factor did out
    figures     tidy frames drawn on axes
    prose       sentences that claim no more than their intervals allow
    document    the Markdown and HTML report
"""
