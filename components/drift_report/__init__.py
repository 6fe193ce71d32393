"""Component: report whether new rows look like earlier ones and whether the champion still scores as it did."""
