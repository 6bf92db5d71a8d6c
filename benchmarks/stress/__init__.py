"""Thousands of tasks of many tenants at once, and whether all that was promised was kept.

`python -m benchmarks.stress` starts the whole product on the embedded server, registers tasks that
share a cron, has them run at each nominal time, and asks the oracle of the fault tests whether each
run happened once, within its limits, and left nothing behind. Runs of the last nominal time are
accepted by their plugins and take longer than the stagger window: all are under way at once.

- `load`: which tasks, and what they owe; `stage`: the processes;
- `play`: from registering to the end of the last run; `board`: what is seen meanwhile;
- `usage`: memory and processor time of each process;
- `evidence`: what the outside and Temporal show, for the oracle; `figures`: the document;
- `curve`: without stagger, beside bare Temporal schedules; `report`: the tables.
"""
