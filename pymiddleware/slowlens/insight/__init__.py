"""What several profiles say together: cohorts, explanations, budgets, regressions.

The statistics are the core's; here it is chosen what is compared, and said in
words. The command line, the viewer and the pytest plugin read the same functions.
"""
