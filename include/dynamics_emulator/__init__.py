"""A local Dynamics 365 (Dataverse Web API) to run and test against."""
