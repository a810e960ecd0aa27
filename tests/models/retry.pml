/* foundation/resilience/retry.py: callers with tries, one budget, one breaker that may open. Every move is a macro generated
   from its table STEPS.

   Scenario:  TRIES  of a call    TOKENS  retries that the budget has    OPENS  of the breaker
   Mutations: NO_TRIES NO_BUDGET NO_LISTENING NO_REFUND */

#ifndef TRIES
#define TRIES 3
#endif
#ifndef TOKENS
#define TOKENS 2
#endif
#ifndef OPENS
#define OPENS 1
#endif
#define CALLERS 2

byte step[CALLERS], made[CALLERS], spent[CALLERS], tokens = TOKENS, retries, refunds;
bool heard_of[CALLERS];         /* the breaker has moved since this call was let in */
byte opens = OPENS;

#ifdef NO_TRIES
#define LEFT(me) true
#define COUNT(me) made[me] = 1
#else
#define LEFT(me) (made[me] < TRIES)
#define COUNT(me) made[me]++
#endif
#ifdef NO_BUDGET
#define PAID true
#define PAY(me) spent[me] = 0
#else
#define PAID (tokens > 0)
#define PAY(me) tokens--; spent[me] = 1
#endif
#ifdef NO_LISTENING
#define STANDS(me) true
#else
#define STANDS(me) (!heard_of[me])
#endif
#define ENDED(me) (step[me] == STEP_SUCCEEDED || step[me] == STEP_GIVEN_UP)

proctype Caller(byte me) {
    do
    :: atomic { step[me] == STEP_TRYING ->
        if
        :: STEP_GOOD(step[me]);
            if
            :: spent[me] -> tokens++; spent[me] = 0; refunds++
            :: else -> skip
            fi
        :: STEP_OTHER(step[me])
        :: COUNT(me);  /* a fault */
            if
            :: STANDS(me) && LEFT(me) && PAID -> STEP_FAULT(step[me]); PAY(me)
            :: STANDS(me) && !(LEFT(me) && PAID) -> STEP_LAST_FAULT(step[me])
            :: !STANDS(me) -> STEP_OPENED(step[me])
            fi
        fi;
        assert(made[me] <= TRIES) }
    :: atomic { step[me] == STEP_WAITING ->
        if
        :: STANDS(me) -> assert(!heard_of[me]); STEP_WAITED(step[me]); retries++
        :: !STANDS(me) -> STEP_OPENED(step[me])
        :: STEP_OTHER(step[me])                                    /* stopped while it waited */
        fi;
#ifndef NO_TRIES
        assert(retries <= TOKENS + refunds)                        /* no storm */
#endif
        }
    :: ENDED(me) -> break
    od
}

proctype Breaker() {
end:
    do
    :: atomic { opens > 0 -> opens--; heard_of[0] = !ENDED(0); heard_of[1] = !ENDED(1) }
    od
}

bool resting;
proctype Idle() {
    do
    :: resting = false
    od
}

init { atomic { step[0] = STEP_TRYING; step[1] = STEP_TRYING; run Idle(); run Breaker(); run Caller(0); run Caller(1) } }

ltl every_call_ends { <> [] (ENDED(0) && ENDED(1)) }
