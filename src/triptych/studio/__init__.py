"""What the web studio keeps and does: projects, jobs, and the review of results."""
