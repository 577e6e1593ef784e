"""The preset dictionary with which bodies are deflated.

A turn of a few hundred bytes holds little that repeats; a dictionary of what such texts usually say lets deflate find
its repetitions there, which brings an English turn of 1 KB with all of its entry's attributes under one write unit.
Stored bodies depend on every byte of it: it never changes. Another dictionary would need another attribute.
"""

from __future__ import annotations

DICTIONARY = (
    b'"timestamp":"2025-01-01T00:00:00.000Z"},"metadata":{"parts":[{"type":"tool_result","toolCallId":"call_"},'
    b'{"type":"tool_call","name":"arguments":{"type":"text","text":"participantId":"userId":"agentId":"threadId":"runId":'
    b" because however before after again another between during through without within around always already almost"
    b" sometimes something someone anything everything nothing together perhaps probably actually really usually often"
    b" never maybe today tomorrow yesterday morning afternoon evening weekend Monday Tuesday Wednesday Thursday Friday"
    b" Saturday Sunday January February March April May June July August September October November December"
    b" information question answer example problem available possible important different following number request"
    b" service customer account payment order product project meeting message conversation document address office"
    b" business company system change update check create number people family friends children school university"
    b" doctor health travel flight hotel restaurant kitchen garden weather"
    b" think know want need like look make take give find tell ask work call try feel leave help show start keep talk"
    b" turn move live believe bring happen write provide sit stand lose pay meet include continue set learn lead"
    b" understand watch follow stop speak read allow add spend grow open walk offer remember love consider appear buy"
    b" wait serve send expect build stay fall cut reach remain suggest"
    b" working looking going getting making taking having being doing using trying thinking feeling talking coming"
    b" wanted needed looked asked called tried started helped moved lived"
    b" recommend appointment experience recently interested different several through would should could their there"
    b" these those which where while about other after first right great little still those between place small large"
    b" every under might found years people long down because each just those people much before good same come could"
    b" made after being well where does also only your have been from they that with this will what when more some them"
    b" then than into over such most very here were said like"
    b" I'm I've I'll I'd don't can't won't isn't it's that's you're you've we're let's didn't doesn't wasn't there's"
    b" what's"
    b" Please let me know if you have any questions. Thank you for your help with this. I would like to know how to"
    b" Could you please tell me what is the Do you remember when That sounds great! I'm glad to hear that. How are"
    b" you doing? Here is a short summary of the You can also In addition to the For example, On the other hand, As far"
    b" as I know, at the same time as soon as possible in order to a lot of one of the some of the most of the the end"
    b" of the it would be you might want to if you would like to I think that we should be able to have a look at it"
    b" is not there are a few going to be has been will be can be used to"
    b'{"role":"assistant","content":"{"role":"user","content":"'
)
