"""Many runs and questions about runs: compare, sweep, plan, profile, verify."""
