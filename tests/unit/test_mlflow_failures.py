"""What MLflow's refusals become: an end of the job, or a reason to wait."""

from __future__ import annotations

import pytest
import requests

from faultline.adapters.mlflow.failures import translated
from faultline.errors import Conflict, FaultlineError, NotFound, Unavailable


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Conflict),
        (413, Conflict),
        (404, NotFound),
        (401, Unavailable),
        (403, Unavailable),
        (408, Unavailable),
        (429, Unavailable),
        (500, Unavailable),
        (507, Unavailable),
    ],
)
def test_a_refusal_is_final_only_when_it_would_come_again(
    status: int, kind: type[FaultlineError]
) -> None:
    response = requests.Response()
    response.status_code = status
    with pytest.raises(kind, match="MLflow could not log a run"), translated("log a run"):
        response.raise_for_status()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable), translated("log a run"):
        raise requests.ConnectionError("refused")
