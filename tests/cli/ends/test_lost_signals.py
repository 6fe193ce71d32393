"""A signal ends a command though the exception that it raises is lost, and does not disturb the end itself."""

import signal
import subprocess
import sys

import pytest

#: What a command does when the signal comes, in a process of its own.
CAUGHT = """
try:
    ready()
except BaseException:
    pass
time.sleep(60)
"""
FINALISER = """
class Slow:
    def __del__(self):
        ready()

slow = Slow()
del slow
time.sleep(60)
"""
CLEANING = """
try:
    ready()
except BaseException:
    time.sleep(1)
    print("cleaned", flush=True)
    raise
"""
COMMAND = """
import signal, time
from bt_cli.stopping import ENDING, ended_by_signals

for number in ENDING:  # the surroundings of the tests may have left them ignored
    signal.signal(number, signal.SIG_DFL)

def ready():
    print("ready", flush=True)
    time.sleep(60)

with ended_by_signals():
    {body}
"""


@pytest.mark.parametrize(
    ("body", "said"), [(CAUGHT, ""), (FINALISER, ""), (CLEANING, "cleaned\n")], ids=["caught", "finaliser", "cleaning"]
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_not_lost(number: signal.Signals, body: str, said: str) -> None:
    command = COMMAND.format(body=body.strip().replace("\n", "\n    "))
    process = subprocess.Popen(
        [sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)  # it does not sleep to the end
    assert out == said
    assert process.returncode == (-signal.SIGINT if number == signal.SIGINT else 128 + number)
