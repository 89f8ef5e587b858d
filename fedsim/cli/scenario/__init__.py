"""Commands about a scenario, before anything is trained."""
