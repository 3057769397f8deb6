"""Small task types of every shape that the contract allows, as plugins would define them."""

from tests.open_types import language as language
from tests.open_types import texts as texts
from tests.open_types import words as words
