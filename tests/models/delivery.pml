/* The verbs of ledger/outbox.py: one delivery, two couriers, an upkeep, a broker that loses, a receiver that answers
   as it likes; an endpoint that is switched off and enabled, an owner who sends again what has ended. Every move passes MOVE_DELIVERY, which is generated from ledger/states.py.

   Scenario:  TRIES  of the schedule     STALLS  leases that end although their courier lives
              DEATHS of couriers         LOSSES, DOUBLES  of rings
              OFFS, ENABLES  of the endpoint     REDELIVERIES
   Mutations: NO_FENCE NO_RERING NO_RESCUE NO_BURIAL */

#ifndef TRIES
#define TRIES 2
#endif
#ifndef STALLS
#define STALLS 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#ifndef DOUBLES
#define DOUBLES 1
#endif

#ifndef OFFS
#define OFFS 0
#endif
#ifndef ENABLES
#define ENABLES 0
#endif
#ifndef REDELIVERIES
#define REDELIVERIES 0
#endif

byte delivery = DELIVERY_BORN, attempt, spent;   /* spent: attempts of earlier rounds */
bool rung = true, late, due = true;      /* owed and rung by the commit that ended the job; the publish itself may be lost */
byte bell;                               /* messages that the broker holds: the publish after that commit is not certain */
byte token[2];                           /* the attempt each courier is at; 0: none */
bool stale[2];                           /* the lease of that attempt has ended */
byte received, tries;
bool accepted;                           /* the receiver said yes to somebody */
bool off, buried;                        /* the endpoint is switched off; this round ended by it */
byte stalls = STALLS, deaths = DEATHS, losses = LOSSES, doubles = DOUBLES, offs = OFFS, enables = ENABLES, redeliveries = REDELIVERIES;

#ifdef NO_FENCE
#define OURS(a) (delivery == DELIVERY_SENDING)
#else
#define OURS(a) (delivery == DELIVERY_SENDING && attempt == a)
#endif
#define BURY MOVE_DELIVERY(delivery, DELIVERY_DEAD); buried = true; rung = false
#define WAITS (delivery == DELIVERY_OWED || delivery == DELIVERY_WAITING)

proctype Courier(byte me) {
    byte mine;
    bool yes;
end:
    do
    :: atomic { bell > 0 -> bell--;
        if
        :: WAITS && due && !off ->  /* claim */
            assert((token[0] == 0 || stale[0]) && (token[1] == 0 || stale[1]));  /* nobody else is within its lease */
            MOVE_DELIVERY(delivery, DELIVERY_SENDING); attempt++; late = false; mine = attempt; token[me] = mine
        :: else -> goto end
        fi }
       do
       :: atomic { deaths > 0 -> deaths--; goto gone }                        /* before the request, or after */
       :: atomic { received++; accepted = true; yes = true } break
       :: atomic { received++ } break
       :: break                                                               /* it never arrived */
       od;
       if
       :: atomic { deaths > 0 -> deaths--; goto gone }                        /* received, and nobody was told */
       :: atomic {  /* settle */
            if
            :: OURS(mine) ->
                tries++; late = false; rung = false; token[me] = 0;
                if
                :: yes -> MOVE_DELIVERY(delivery, DELIVERY_DELIVERED)
                :: !yes && mine - spent < TRIES -> MOVE_DELIVERY(delivery, DELIVERY_WAITING); due = false
                :: else -> MOVE_DELIVERY(delivery, DELIVERY_DEAD)
                fi
            :: else -> skip  /* stale: discarded */
            fi }
       fi;
gone:
       atomic { mine = 0; yes = false; token[me] = 0; stale[me] = false }
    od
}

#define HELD (token[0] == attempt || token[1] == attempt)

proctype Upkeep() {
end:
    do
#ifndef NO_RESCUE
    :: atomic { delivery == DELIVERY_SENDING && late -> MOVE_DELIVERY(delivery, DELIVERY_WAITING); due = true; rung = false; late = false }
#endif
#ifndef NO_BURIAL
    :: atomic { WAITS && off -> BURY }  /* what was in flight when its endpoint was switched off, and came back */
#endif
    :: atomic { WAITS && due && !off && !rung -> rung = true; bell++ }
#ifndef NO_RERING
    :: atomic { WAITS && due && !off && rung && bell == 0 -> bell++ }
#endif
    od
}

proctype World() {
    if  /* the publish after the commit */
    :: bell++
    :: skip
    fi;
end:
    do
    :: atomic { delivery == DELIVERY_WAITING && !due -> due = true }
    :: atomic { delivery == DELIVERY_SENDING && !late && !HELD -> late = true }
    :: atomic { delivery == DELIVERY_SENDING && !late && HELD && stalls > 0 ->
            stalls--; late = true; stale[0] = stale[0] || token[0] == attempt; stale[1] = stale[1] || token[1] == attempt }
    :: atomic { offs > 0 && !off -> offs--; off = true;
            if
            :: WAITS -> BURY
            :: else -> skip
            fi }
    :: atomic { off && enables > 0 -> enables--; off = false }
    :: atomic { ENDED_DELIVERY(delivery) && !off && redeliveries > 0 ->
            redeliveries--; MOVE_DELIVERY(delivery, DELIVERY_OWED); spent = attempt; due = true; rung = false; buried = false }
    :: atomic { bell > 0 && losses > 0 -> losses--; bell-- }
    :: atomic { bell > 0 && doubles > 0 -> doubles--; bell++ }
    od
}

/* Something always moves, so that a system that has come to rest too early is a cycle that a claim can see. */
bool resting;
proctype Idle() {
    do
    :: resting = false
    od
}

init {
    atomic { assert(BORN_DELIVERY(delivery)); run Idle(); run Courier(0); run Courier(1); run Upkeep(); run World() }
}

#define SETTLED (ENDED_DELIVERY(delivery))
ltl every_delivery_ends { <> [] SETTLED }
ltl delivered_is_received { [] (delivery != DELIVERY_DELIVERED || accepted) }
ltl dead_only_after_the_last_try { [] (delivery != DELIVERY_DEAD || attempt - spent >= TRIES || buried) }
