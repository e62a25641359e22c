"""Teach: projects with their classes and photos, and the jobs that learn from them.

To import a part adds its pages to the blueprint.
"""

from triptych.web.projects.teach import lessons
from triptych.web.projects.teach import photos
from triptych.web.projects.teach import pictures
from triptych.web.projects.teach import shelf
from triptych.web.projects.teach.door import blueprint

__all__ = ["blueprint", "lessons", "photos", "pictures", "shelf"]
