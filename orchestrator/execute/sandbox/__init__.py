"""One mechanism of confinement a module, and the processes that are built from them."""
