"""Component: the rows of a retraining, the program to start from, and the champion."""
