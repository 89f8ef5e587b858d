"""The service: a store over HTTP, as JSON, as a live page, for Prometheus, and for runs on other machines.

Only this package imports FastAPI. It is loaded by `fedsim serve` and by nothing else.
"""
