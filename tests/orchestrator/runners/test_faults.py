"""What a lost cell costs, told apart by words and by numbers, without Ray."""

from types import SimpleNamespace

import pytest

from orchestrator.runners.cell_queue import CellQueue
from orchestrator.runners.faults import cause_of, killed_process, reason_of

OUT_OF_MEMORY = (
    "Caught unexpected exception: 1 worker(s) were killed due to the node running low on memory. Memory on the node "
    "(IP: 10.0.0.1, ID: 0f30) was 15.2GB used / 16GB limit\nConsidered workers: [\nSelected to kill: (Task: job "
    "ID=01000000, task name=ImplicitFunc.train, required resources={CPU: 1}, pid=15508, actual memory used=9GB)\n]"
)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "The actor died unexpectedly before finishing this task.\nThe actor is dead because its worker process",
            "worker",
        ),
        ("The actor died unexpectedly before finishing this task.\nThe actor died because its node has died.", "node"),
        ("The actor 56455e8f is unavailable: RPC error: Socket closed.", "node"),
        (OUT_OF_MEMORY, "host_memory"),
        ("\x1b[36mray::ImplicitFunc.train()\x1b[39m (pid=1)\n  File\nValueError: bad", "error"),
        ("words nobody has seen yet", "worker"),
    ],
)
def test_what_ray_says_is_told_apart(text, cause):
    """A node's death, a process's death, a host's memory and an error are four different things; the unknown counts."""
    assert cause_of(text) == cause


def test_the_process_that_memory_cost_is_found():
    """The cell to blame for a host's memory is found by the process that Ray names."""
    assert killed_process(OUT_OF_MEMORY) == 15508
    assert killed_process("no word of a process") is None


def test_the_reason_of_a_failed_cell_is_one_line_with_what_to_do():
    """A person reads what happened, how often, and what to lower; a Python error is quoted by its last line."""
    assert "`resources.cpus_per_cell` (3 attempts)" in reason_of(OUT_OF_MEMORY, "host_memory", 3)
    error = "\x1b[36mray::f()\x1b[39m\n  File\nModuleNotFoundError: No module named 'orchestrator'\n"
    assert reason_of(error, "error", 1) == "an error in its worker: ModuleNotFoundError: No module named 'orchestrator'"


@pytest.fixture
def make_queue(tiny, work_of):
    """A queue of the tiny experiment's cells."""
    jobs, _, _ = work_of(tiny)
    return lambda **settings: CellQueue(jobs, **{"attempts": 2, "gpus": 0.0, "pilot": False, **settings})


def test_nodes_may_go_as_often_as_they_like_and_workers_may_not(make_queue):
    """Fifty lost nodes cost no attempt; the second dead worker ends a cell that has two attempts."""
    queue = make_queue()
    for _ in range(50):
        assert queue.lost(queue.next(), "node") == 1
    assert queue.lost(queue.next(), "worker") == 2
    last = queue.next()
    assert (last.cell, last.number) == (0, 2)
    assert queue.lost(last, "worker") is None
    assert queue.next().cell == 1


def test_a_cell_that_is_tried_again_gets_the_latest_record_of_each_candidate(make_queue):
    """In a race a candidate is announced after each inner fold; two records of one number could not be replayed."""
    queue = make_queue()
    attempt = queue.next()
    for number, seconds in ((0, 1.0), (1, 1.0), (0, 2.0)):
        queue.delivered(attempt, SimpleNamespace(number=number, seconds=seconds))
    queue.lost(attempt, "worker")

    assert [(one.number, one.seconds) for one in queue.job(queue.next()).finished] == [(0, 2.0), (1, 1.0)]


def test_an_error_is_not_tried_again(make_queue):
    """What a person or a bug did wrong would only be done wrong again."""
    queue = make_queue(attempts=5)
    assert queue.lost(queue.next(), "error") is None


def test_a_cell_without_room_on_its_gpu_gets_twice_as_much_until_it_has_it_all(make_queue):
    """A quarter, a half, a whole GPU, whatever `attempts` says; cells that begin later begin with as much."""
    queue = make_queue(attempts=1, gpus=0.25)
    shares = []
    while True:
        attempt = queue.next()
        shares.append(attempt.gpus)
        if queue.lost(attempt, "gpu_memory") is None:
            break
    assert shares == [0.25, 0.5, 1.0]
    assert queue.next().gpus == 1.0


def test_a_pilot_runs_alone_and_goes_on_with_what_it_measured(make_queue):
    """Until the first candidate has told what a cell needs nothing else begins; then all take that share."""
    queue = make_queue(gpus=1.0, pilot=True)
    pilot = queue.next()
    assert pilot.pilot
    assert queue.next() is None
    queue.measured(pilot, 0.25)
    again, other = queue.next(), queue.next()

    assert (again.cell, again.number, again.gpus, again.pilot) == (0, 1, 0.25, False)
    assert (other.cell, other.gpus, other.pilot) == (1, 0.25, False)


def test_a_pilot_that_fails_leaves_the_measuring_to_the_next_cell(make_queue):
    """A first cell that cannot be trained does not leave the others waiting for its word."""
    queue = make_queue(gpus=1.0, pilot=True, attempts=1)
    assert queue.lost(queue.next(), "error") is None
    assert queue.next().pilot
