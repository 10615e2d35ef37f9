"""Trainings and evaluations from config to files, as the commands start them."""
