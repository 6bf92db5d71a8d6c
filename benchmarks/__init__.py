"""What a run costs, measured against the least that Temporal asks for the same call.

`python -m benchmarks.page` (`make bench`) measures what `docs/benchmarks.md` shows; that page says
also which module gives which figure of all documents.

`python -m benchmarks` starts a server, a sandbox and a worker of its own, with the settings of
`taskflow dev`, and lets the kinds of run in `benchmarks.scenarios` take turns on them: on a machine
that others use too, only kinds that were measured side by side can be compared.

- `scenarios`: the kinds of run, a file each;
- `worker`: the process that executes them all; `stack`: the processes of one benchmark;
- `rounds`: taking turns, and the proof that every run was executed exactly once;
- `history`: what a run left in Temporal; `metrics`: what the worker asked of it;
- `summary`: figures of all rounds; `report`: their tables; `machine`: what it ran on;
- `items` and `cores`: the pure cores by item; `memory`: of tasks and runs; `small`: small parts.
"""
