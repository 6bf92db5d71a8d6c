"""What the pages say of what was done, and of what to do when something cannot be."""

from starter.api.problems import HttpRefusal

DONE = {
    "paused": "Paused: it does not fire until it is resumed.",
    "paused-running": "Paused, and its open runs are asked to hold.",
    "resumed": "Resumed: it fires again from now on. Fires of the pause are not caught up.",
    "recreated": "Resumed. Temporal had dropped the schedule, and it was made again.",
    "triggered": "A run was started: this is it.",
    "cancelled": "The run was asked to stop. It closes its plugin call and ends CANCELLED.",
    "acknowledged": "The work order is yours now, and escalates no more.",
    "retried": "Its task runs once more: the work order is resolved when that run succeeds.",
    "waived": "The work order is waived.",
    "resolved": "The work order is resolved.",
    "signed-in": "Signed in.",
    "signed-out": "Signed out: the token is forgotten here.",
}
"""By what a cookie says, which is a word and never a text: pages show nothing of others' making."""

_REMEDIES = {
    "FORBIDDEN": "Whoever runs taskflow makes tokens with this scope: taskflow tokens create.",
    "FOREIGN_FORM": "Open the console itself, and do it there.",
    "FORM_EXPIRED": "Go back, reload the page, and do it again: you signed in or out meanwhile, or "
    "the browser keeps no cookies.",
    "NOT_FOUND": "It may be gone, or be of another tenant. The lists show what there is.",
    "TOO_MANY_REQUESTS": "Wait so long, then reload.",
    "NO_WORKER": "Start a worker: taskflow worker. Then reload.",
    "BODY_TOO_LARGE": "Say it shorter.",
}
_BY_STATUS = {
    409: "Look at it again: it may have changed meanwhile.",
    412: "Look at it again: it has changed meanwhile.",
    422: "Go back, mend what is named here, and send it again.",
    500: "The log of the API has it under the request id below.",
    503: "Look whether Temporal and the workers are there: taskflow doctor says what is missing. "
    "Then reload. What was asked may be asked again: it is not done twice.",
}


def remedy_of(refusal: HttpRefusal) -> str:
    """What to do, in a sentence; nothing for what nothing can be done about."""
    return _REMEDIES.get(refusal.code) or _BY_STATUS.get(refusal.status, "")
