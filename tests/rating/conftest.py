from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("rating", deadline=None)
settings.load_profile("rating")
