"""What `import evolvent` offers."""

import pytest
from tests.helpers import elsewhere

import evolvent


def test_there_are_few_public_names():
    assert len(evolvent.__all__) <= 15
    assert set(evolvent.__all__) <= set(dir(evolvent))


@pytest.mark.parametrize("name", evolvent.__all__)
def test_every_public_name_resolves_and_says_what_it_is(name):
    assert getattr(evolvent, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'searhc'"):
        _ = evolvent.searhc


def test_importing_it_imports_nothing_else():
    code = "import sys, evolvent; print([m for m in sys.modules if m.startswith('evolvent.')])"
    assert elsewhere(code) == "[]\n"


def test_no_module_has_the_name_of_a_public_function():
    """The module, once imported, would take the function's place."""
    code = (
        "import evolvent, pkgutil; "
        "print({m.name for m in pkgutil.iter_modules(evolvent.__path__)} & set(evolvent.__all__))"
    )
    assert elsewhere(code) == "set()\n"


def test_the_checks_need_no_test_framework():
    code = "import sys, evolvent.testing; print('pytest' in sys.modules)"
    assert elsewhere(code) == "False\n"


def test_what_is_imported_on_demand_stays_the_function():
    """A sub-package of nearly the same name takes nothing's place."""
    code = "import evolvent, evolvent.comparison.paired; print(callable(evolvent.compare))"
    assert elsewhere(code) == "True\n"
