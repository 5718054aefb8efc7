"""The load-test harness behind `mesh bench`: what it sends, measures, checks and reports."""
