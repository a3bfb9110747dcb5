"""``python -m busduct.cli``."""

from busduct.cli._main import main

if __name__ == "__main__":
    main()
