"""Component: run the program on the train split and keep every trace."""
