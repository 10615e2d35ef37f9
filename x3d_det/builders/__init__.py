"""Config -> objects: the only modules that know both."""
