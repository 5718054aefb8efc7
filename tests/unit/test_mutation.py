"""What `make mutants` breaks and what it leaves alone."""

from pathlib import Path

from tests.mutation.mutants import Mutants
from tests.mutation.settings import read

SOURCE = '''
def wait(limit, log):
    """Waits."""
    if limit > 3:
        raise ValueError("too long: " + f"{limit + 1} s")
    log.info("waiting", limit - 1)
    name = "a label"
    return limit + 2


class Queue:
    def put(self, item):
        self.items.append(item)
        self.size += 1
'''


def test_the_list_names_modules_and_tests_that_are_there() -> None:
    settings = read()
    assert all(settings.modules.values())
    assert {entry.module for entry in settings.equivalent} <= set(settings.modules)


def test_lines_are_broken_and_texts_are_not(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    mutants = Mutants(path).all
    said = {(mutant.function, mutant.line, mutant.added) for mutant in mutants}
    assert ("wait", 4, "if limit >= 3:") in said
    assert ("wait", 8, "return limit - 2") in said
    assert ("Queue.put", 14, "self.size -= 1") in said
    assert {line for _, line, _ in said} == {4, 8, 13, 14}


def test_an_edit_elsewhere_leaves_a_function_s_place_in_the_draw(tmp_path: Path) -> None:
    ranks = []
    for source in (SOURCE, SOURCE.replace("limit > 3", "limit > 4 and limit != 7")):
        path = tmp_path / "module.py"
        path.write_text(source)
        mutants = Mutants(path)
        ranks.append([each.rank(10) for each in mutants.all if each.function == "Queue.put"])
    assert ranks[0] == ranks[1]
    assert len(set(ranks[0])) == len(ranks[0])


def test_every_drawn_mutant_has_its_switch(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    mutants = Mutants(path)
    source, switches = mutants.source(list(mutants.all))
    assert len(set(switches)) == len(mutants.all)
    assert all(f"def {switch}(" in source for switch in switches)
