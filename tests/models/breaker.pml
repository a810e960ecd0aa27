/* foundation/resilience/breaker.py: one breaker, callers that may be stopped or die, a clock. Every move is a macro generated
   from its table MOVES: it fails where the table has none.

   The generation is modelled by what it is for: `current` of a caller is true from its enter to the next move, so there are
   finitely many states. The window is two failures in a row.

   Scenario:  CALLERS, PROBES   DEATHS  callers that never answer
   Mutations: NO_GENERATION NO_LIMIT NO_BOUND NO_RETURN */

#ifndef CALLERS
#define CALLERS 3
#endif
#ifndef PROBES
#define PROBES 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif

byte state = BREAKER_CLOSED, failing, probing, good;
bool over, late;                 /* the pause has ended; the time of the probes has */
bool current[CALLERS], probes[CALLERS];
byte deaths = DEATHS;
/* what is true, beside what the breaker has counted */
byte in_flight;                  /* probes of this generation that have not left */
byte answered_well;              /* probes of this generation that succeeded */

inline moved() {
    failing = 0; probing = 0; good = 0; in_flight = 0; answered_well = 0; over = false; late = false;
    current[0] = false; current[1] = false; current[CALLERS - 1] = false
}

#ifdef NO_GENERATION
#define COUNTS(me) true
#else
#define COUNTS(me) current[me]
#endif

inline hear(me, failed) {
    if
    :: COUNTS(me) && state == BREAKER_CLOSED && failed ->
        failing++;
        if
        :: failing == 2 -> BREAKER_TRIPPED(state); moved()
        :: else -> skip
        fi
    :: COUNTS(me) && state == BREAKER_CLOSED && !failed -> failing = 0
    :: COUNTS(me) && state == BREAKER_HALF_OPEN && failed -> assert(current[me]); BREAKER_PROBE_FAILED(state); moved()
    :: COUNTS(me) && state == BREAKER_HALF_OPEN && !failed ->
        answered_well = answered_well + current[me]; good++;
        if
        :: good == PROBES -> assert(answered_well == PROBES); BREAKER_PROBES_SUCCEEDED(state); moved()
        :: else -> skip
        fi
    :: else -> skip
    fi
}

inline leave(me) {
    if
    :: current[me] && probes[me] -> in_flight--; probing--
    :: else -> skip
    fi
}

proctype Caller(byte me) {
    bool in;
end:
    do
    :: atomic {  /* enter */
        in = true; probes[me] = false;
#ifndef NO_LIMIT
        if
        :: state == BREAKER_HALF_OPEN && late -> BREAKER_PROBES_LATE(state); moved()
        :: else -> skip
        fi;
#endif
        if
        :: state == BREAKER_CLOSED
        :: state == BREAKER_OPEN && over -> BREAKER_PAUSE_OVER(state); moved()
        :: state == BREAKER_OPEN && !over -> in = false
        :: else -> skip
        fi;
        if
        :: in && state == BREAKER_HALF_OPEN ->
            if
#ifdef NO_BOUND
            :: true -> probing++; in_flight++; probes[me] = true
#else
            :: probing + good < PROBES -> probing++; in_flight++; probes[me] = true
            :: else -> in = false
#endif
            fi
        :: else -> skip
        fi;
        current[me] = in;
        assert(in_flight <= PROBES)
       }
       if
       :: in ->
            if
            :: atomic { skip; leave(me); hear(me, false) }
            :: atomic { skip; leave(me); hear(me, true) }
#ifdef NO_RETURN
            :: atomic { skip; if :: current[me] && probes[me] -> in_flight-- :: else -> skip fi }
#else
            :: atomic { skip; leave(me) }                        /* it was stopped: it says nothing, and its place is free */
#endif
            :: atomic { deaths > 0 -> deaths--; goto dead }  /* it never comes back */
            fi;
            atomic { current[me] = false; probes[me] = false; in = false; assert(state != BREAKER_HALF_OPEN || probing == in_flight) }
       :: else -> skip
       fi
    od;
dead:
    in = false
}

proctype Time() {
end:
    do
    :: atomic { state == BREAKER_OPEN && !over -> over = true }
    :: atomic { state == BREAKER_HALF_OPEN && !late -> late = true }
    od
}

/* Something always moves, so that a breaker that has come to rest is a cycle that a claim can see. */
bool resting;
proctype Idle() {
    do
    :: resting = false
    od
}

init {
    atomic {
        run Idle(); run Time(); run Caller(0); run Caller(1);
        if
        :: CALLERS == 3 -> run Caller(2)
        :: else -> skip
        fi
    }
}

#define HALF_OPEN (state == BREAKER_HALF_OPEN)
#define OPEN (state == BREAKER_OPEN)
ltl half_open_ends { [] (HALF_OPEN -> <> !HALF_OPEN) }
ltl open_ends { [] (OPEN -> <> !OPEN) }
