// The kernels of dlprimitives' batch normalization (github.com/artyom-beilis/dlprimitives, src/kernels), of which it makes two
// programs; they have no names in common. Its own files are found with --include.
#include "bn_sums.cl"
#include "bn_utils.cl"
