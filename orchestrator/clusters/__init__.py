"""What a run on rented or shared hosts needs: the check of a cluster file and the watch for spot notices."""
