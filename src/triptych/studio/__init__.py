"""The data and jobs of the web studio: projects, training jobs, and the review of results."""
