"""A million tasks of thousands of tenants, played through the code that decides about real ones."""
