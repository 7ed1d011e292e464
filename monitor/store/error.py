"""What is raised where a database cannot be used."""


class StoreError(ValueError):
    """A database that cannot be used as asked; str() is one line with the file and the reason."""
