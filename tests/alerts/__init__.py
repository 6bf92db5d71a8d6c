"""Alert rules, dashboard and runbook: that they fire, and name what there is."""
