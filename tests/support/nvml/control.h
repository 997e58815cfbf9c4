// What a test tells the stub: a text file named by NVML_STUB, read again whenever it is replaced.
//
//   cards N                       how many cards there are, at most 16
//   still                         figures do not move with time
//   fail FUNCTION|* CODE [CARD]   the function answers with this code, for one card or for all
//   lost CARD AFTER               the card falls off the bus after so many more calls about it
//   block FUNCTION|*              the function does not return while this line stands
//   reload N                      another N than at nvmlInit: the driver was reloaded, handles are void
//   mig CARD COUNT                the card is cut into COUNT instances
//   process CARD PID MIB UTIL [SLICE]   a process, on a slice of a card in MIG mode
//   reversed                      cards are listed from the last slot to the first
//   garbage                       numbers that a driver writes where it has none, and samples of long ago
//   trace                         every call is noted in the file NVML_STUB with ".calls" at its end

#ifndef NVML_STUB_CONTROL_H
#define NVML_STUB_CONTROL_H

enum { MAX_CARDS = 16, MAX_SLICES = 7, MAX_FAULTS = 128, MAX_PROCESSES = 64, ANY = -1 };
enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6,
       INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };

struct fault { char function[64]; int code, card; };
struct process { int card, pid, slice; unsigned util; unsigned long long bytes; };
struct control {
    int cards, still, reload, reversed, garbage, trace;
    int lost_after[MAX_CARDS];      // -1: stays
    int slices[MAX_CARDS];          // 0: MIG is off
    int n_faults, n_blocks, n_processes;
    struct fault faults[MAX_FAULTS];
    char blocks[8][64];
    struct process processes[MAX_PROCESSES];
};

const struct control *control_now(void);

// Returns the code that `function` answers with, after having waited where it is to block.
int enter(const char *function, int card);
void opened(int is_open);

#endif
