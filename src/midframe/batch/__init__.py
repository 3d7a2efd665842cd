"""Many films with one set of options: what is to be done, and doing it film by film."""
