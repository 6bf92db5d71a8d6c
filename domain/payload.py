"""What payloads of workflows and activities have in common.

They are stored in Temporal's histories. Fields are added, with a default, and never renamed.
"""

from pydantic import BaseModel, ConfigDict


class Payload(BaseModel):
    """Read leniently: a worker of yesterday meets the fields of tomorrow."""

    # What cannot be read is told in logs, and what it holds is not theirs.
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)
