"""`python -m llamactl` is the same as the script."""

from llamactl.app import main

if __name__ == "__main__":
    main()
