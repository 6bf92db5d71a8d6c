"""A plugin runtime that does what it is told: the outside world of demo, tests and benchmarks.

It listens on a real socket and speaks the contracts of the outside world:

- `POST /plugin/runtime/{id}/execute` and `DELETE /plugin/runtime/{id}/executions/{run_id}`;
- `POST /ops/capacity/reserve`, the capacity service;
- `POST /notifications/sla-breach`, the notification service;
- `POST /events/{name}`, sinks for CloudEvents.

Under `/control` a test says how each of them behaves (how long it takes, which delivery fails and
how) and reads back what arrived. Every delivery is written to a synced log, so that what was really
done can be proved after any process was killed, the sandbox included.

What a plugin has to do as well, it does by `pluginkit`: reading and checking calls, the rule of
fences, answers and problems. Its faults, and the log that proves what was done, are its own.

- `knobs`: how one plugin behaves, and the script language of outcomes;
- `accepted`: work after a 202, and the reports of it;
- `ledger`: what is known of every idempotency key, without I/O; `lines`: how the log tells it;
- `reservations`: what is known of every reservation of capacity, without I/O;
- `breaches`: what is known of every breach that was notified, without I/O;
- `events`: what is known of every event that came, without I/O;
- `journal`: the log on disk, with group commit;
- `wire`: answers, and broken answers, on one connection;
- `runtime`: the execute route; `cancellation`: the route that cancels an execution;
- `capacity`: the route of the capacity service; `notifications`: that of the notification service;
- `sinks`: the routes for events; `signatures`: who sent them, and who calls plugins;
- `scripted`: the knobs and the script that these three share;
- `endpoint`: what the routes share; `control`: the routes of the test; `server`: the process;
- `client`: a small typed client of the control routes.

    python -m sandbox --host 127.0.0.1 --port 9700 --log sandbox.jsonl

With `--secret-file` calls of plugins have to be signed. With `--scheduler-url` as well plugins can
accept work and report it (`accept:SECONDS`).
"""
