"""The figures of the page, one module each, in the order in which a reviewer asks for them."""

from baseload.report.figures import batches, costs, demand, failures, heat, latency, queues, spending

FIGURES = (
    demand.draw,
    latency.draw,
    heat.draw,
    costs.draw,
    spending.draw,
    failures.draw,
    queues.draw,
    batches.draw,
)
"""Each takes the runs and returns what it drew."""
