"""Teach: projects with their classes and photos, and the jobs that learn from them.

To import a part adds its pages to the blueprint.
"""

from triptych.web.studio import photos
from triptych.web.studio import pictures
from triptych.web.studio import project_list
from triptych.web.studio import training
from triptych.web.studio.blueprint import blueprint

__all__ = ["blueprint", "photos", "pictures", "project_list", "training"]
