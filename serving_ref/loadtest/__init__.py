"""The load generator: a schedule that was drawn up front is sent in an open loop, and every request is recorded."""
